"""What a model or a task must keep, tried on one of a user's own as on the suite's: the verb `check`.

May import the ground floor, `experiments` and `engine`. Front door: `fitting.check`.
"""
