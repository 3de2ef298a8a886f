"""What may be published and trusted: rows into the folder, rows of other machines, rows made again and compared.

May import the ground floor, `experiments`, `engine`, `rows`, `analysis`, `tuning`, `running`, `report/tables` and
`report/figures`. Front door: one file for each verb (`publishing`, `merging`, `verifying`, `renewing`, `reproducing`);
`checking` reads folders and trains nothing.
"""
