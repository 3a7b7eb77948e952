"""One thin module per verb: configuration, Ray graph, outputs, summary, exit code."""
