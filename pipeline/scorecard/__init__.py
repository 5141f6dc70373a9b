"""The ML Test Score: 28 tests of readiness for production, each with a point for what is proved and none for what is not.

Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib and D. Sculley: The ML Test Score: A Rubric for ML Production Readiness
and Technical Debt Reduction, IEEE Big Data 2017.
"""
