"""The sequencer command, one file per noun."""
