"""Report: figures and the HTML page of a run, drawn from its predictions, scores and collection."""
