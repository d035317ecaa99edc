//! Scenario files: what an application sends, how often, with which values, and what it expects of the plans.
