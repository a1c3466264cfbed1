"""
The sample application: an online shop, as monitord finds applications in the wild.

It knows PostgreSQL, a cache and `monitord.emit`, nothing else of monitord. What is slow or fails
here does so on purpose and for real: a forgotten index, an N+1 query, a division by zero, a
provider that hangs up. Run it with `python -m monitord.demo.shop`.
"""
