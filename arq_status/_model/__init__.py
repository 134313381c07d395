"""Data model and rules: stored records, statuses, and the records that users get. No I/O."""
