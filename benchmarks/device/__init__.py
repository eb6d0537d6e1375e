"""Other engines on the same device, for `bench_device.py`."""
