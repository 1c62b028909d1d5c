"""The errors of metrics and logs. All of them are ours: nobody outside the process can cause one."""


class TelemetryError(Exception):
    """Root of every error raised by this room."""


class MetricMisuse(TelemetryError):
    """A metric was declared twice or with a wrong name, or fed with the wrong number of labels."""
