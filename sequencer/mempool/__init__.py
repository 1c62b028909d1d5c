"""Admission, queues per namespace, fair share between them, and the sealing of batches."""
