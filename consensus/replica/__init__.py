"""The replica: one step from an event to effects, one file per kind of event."""
