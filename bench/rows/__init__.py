"""What is kept of a run, and what it is worth: rows in files, where they come from, and whether they are current.

May import the ground floor, `experiments` and `engine`. Front door: `store.Workplace` for the rows of an experiment,
`sources` for the hash of the code that defines a row, `comparing` for how two rows differ.
"""
