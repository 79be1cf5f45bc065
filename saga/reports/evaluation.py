"""The page of one encoder's evaluation: its retrieval, with the pictures that need its images."""

from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.reports.attention import attention_overlays
from saga.reports.gallery import gallery
from saga.reports.retrieval import retrieval_page
from saga.retrieval.report import RetrievalReport


def evaluation_page(
    report: RetrievalReport, manifest: DatasetManifest, encoder: Retriever, limits: ImageLimits
) -> str:
    """HTML with the gallery of the judged queries and the pooler's attention on some of them.

    Args:
        report: the outcome.
        manifest: of the judged images.
        encoder: that was judged.
        limits: what the image loader accepts.
    """
    judged = manifest.frame[manifest.frame["image_id"].isin(report.per_query["image_id"])]
    return retrieval_page(
        report,
        gallery(report, manifest, limits),
        attention_overlays(encoder, manifest, judged, limits),
    )
