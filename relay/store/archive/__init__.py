"""The archive: events that the record has forgotten, as files, one a day."""
