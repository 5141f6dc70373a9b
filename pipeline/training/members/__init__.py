"""The members of a model: a network, boosted trees and a linear model, of which each answers alone, and their weighted sum."""
