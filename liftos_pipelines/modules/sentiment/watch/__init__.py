"""Days and drops: the daily index freed of the classifier's pull, and alerts with a stated rate of false ones."""
