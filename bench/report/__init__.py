"""What people read, in three rooms: `tables`, `figures`, and the `page` that holds both. There is no code here."""
