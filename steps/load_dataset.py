"""Which images, classes and splits there are."""

from typing import Annotated

from zenml import step

from materializers.manifest import ManifestMaterializer
from pipelines.home import home
from pipelines.progress import reporter
from saga.data.configuration import DatasetConfig
from saga.data.load import load_manifest
from saga.data.manifest import DatasetManifest


@step(enable_cache=False, output_materializers={"manifest": ManifestMaterializer})
def load_dataset(dataset: DatasetConfig) -> Annotated[DatasetManifest, "manifest"]:
    """Read the layout and every file's header and digest.

    Never reused: files may have changed. What follows is, while the manifest's digest is the same.
    """
    return load_manifest(dataset, home() / "data", reporter("load the dataset"))
