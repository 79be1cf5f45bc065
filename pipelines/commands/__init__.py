"""What each command does; pipelines.cli declares them and imports these when they are called."""
