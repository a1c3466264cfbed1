"""`monitord demo`: a real shop under real traffic on real servers, and monitord beside it."""
