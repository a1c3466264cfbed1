"""The shop's visitors, as a process of their own: `python -m monitord.demo.traffic`."""
