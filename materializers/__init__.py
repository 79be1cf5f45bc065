"""One materializer per artifact type: folders of open formats, checked at load, never pickle.

Import paths of these classes and of their types are stored in the database: not to be renamed.
"""
