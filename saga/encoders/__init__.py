"""The vision tower, the poolers and the deployable retriever."""
