"""How steps are executed: one after the other on a CPU; on a GPU captured once, replayed, and many runs at a time.

steps.py has the step of training and of evaluation, lanes.py where they are launched, cuda.py the GPU's lanes and
graphs, devices.py the devices that have lanes, buckets.py the lengths to which sequences are padded there, packing.py
many runs in turn.
"""
