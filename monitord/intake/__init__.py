"""From event to the store's queue, to memory, and to those who watch."""
