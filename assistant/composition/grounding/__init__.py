"""Nothing invented: what facts a text states, whether sources state them too, and how a reply is kept to that."""
