"""Which schema changes this code works beside.

A migration expands the schema, and older workers and APIs go on beside it. A migration with `contract = True` in its
file removes or renames what older code uses. Each worker's row has the newest contract step that its code knows, and
`migrations.runner` refuses a contract step beside a live worker that does not know it.
"""

# Revision of the newest migration with `contract = True` in migrations/versions.
NEWEST_CONTRACT_STEP = "0005"
