"""Commands of the command line, declared by subject; what they do is in pipelines.commands."""
