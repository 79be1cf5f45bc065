"""The SAGA trainer: phases A, B, C; checkpoints; history."""
