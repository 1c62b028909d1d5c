"""From the committed chain to namespaced blocks: a pure function."""
