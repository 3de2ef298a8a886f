"""What is asked: an `experiment.yaml` becomes an Experiment, and that becomes runs, each with its id.

Tasks and models are found by `registry`, whose catalogue is the file system. May import the ground floor, and no other
room.
Front door: `config.load` for an experiment, `runs.Run` for one run, `notation.parse` for a text such as `gru(width=8)`.
"""
