"""Files on their way in: received, judged, submitted as runs."""
