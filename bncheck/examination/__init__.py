"""Is this right? The examination that check makes."""
