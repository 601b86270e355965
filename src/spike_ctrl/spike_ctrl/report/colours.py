"""The colours of everything that is drawn: curves in their order, the paper's figures, lines to compare with, grids."""

COLOURS = ("#2369bd", "#d9722e", "#2f9467", "#8a5cb5", "#c0392b", "#1796a6", "#a08020", "#6b7280")
PAPER_COLOUR, LEVEL_COLOUR, GRID_COLOUR = "#1f2430", "#6b7280", "#e3e6ea"
