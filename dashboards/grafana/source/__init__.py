"""The dashboards, in short."""
