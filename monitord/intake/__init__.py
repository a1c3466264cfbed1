"""From event to disk, to memory, and to those who watch."""
