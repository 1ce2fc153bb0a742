"""From what was not answered to knowledge: groups by meaning, figures, drafts. Pure."""
