"""What the journal teaches: the ledger of guards, max-pain hits, recommendations, probation. Pure, over events of the journal."""
