"""Parts of meta-learning by gradients: functional policies, episodes, adaptation, the outer step."""
