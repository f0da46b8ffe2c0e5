"""How memory brings things back: words, meaning, dimensions and the graph, fused and explained."""
