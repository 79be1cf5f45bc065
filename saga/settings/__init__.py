"""Settings, read strictly: plain YAML, typed dataclasses, messages that name the nearest key."""
