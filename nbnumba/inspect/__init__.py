"""Images and pixels looked at: traces, comparisons, and what made a pixel bright."""
