"""Is the dataset what it should be?"""

from typing import Annotated

from zenml import step

from materializers.validation import ValidationMaterializer
from pipelines.progress import reporter
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.data.validation import ValidationReport
from steps.expectations.run import validate_manifest


@step(output_materializers={"validation": ValidationMaterializer})
def validate_dataset(
    manifest: DatasetManifest, limits: ImageLimits, code: str
) -> Annotated[ValidationReport, "validation"]:
    """Check every expectation; the next step refuses a dataset that failed a critical one.

    Args:
        manifest: the data.
        limits: what the image loader accepts.
        code: digest of our code, so that other code looks again.
    """
    return validate_manifest(manifest, limits, reporter("validate the dataset"))
