"""Scripts that fit the benchmark's model with other projects' tools. Each is run by that tool's own interpreter.

They import nothing of this package and are never imported by it: `bench/rivals.py` starts them and reads their JSON.
"""
