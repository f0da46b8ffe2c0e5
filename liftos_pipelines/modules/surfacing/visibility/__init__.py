"""How visible each brand is, how sure that is, and what a panel of prompts can see."""
