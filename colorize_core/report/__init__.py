"""Report pages: what people look at when a run has ended. Rows and pictures in, HTML out; no storage, no network."""
