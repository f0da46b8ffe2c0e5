"""Do agents stay within their authority: policies, their judgement over recorded steps, evidence, proposals."""
