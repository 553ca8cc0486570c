"""Which rule of a policy decides of a request, for people. Pure.

policy: denied by rules[1], for uid:app2, DELETE /users
  apps       allow   does not fit: users app1: the caller is uid 1002
  rules[1]   deny    decides
  default    allow   not asked
"""

from __future__ import annotations

from nodeagent.cli.explain_documents import Judgement, TriedRule

VERDICTS = {
    "allow": "allowed by",
    "deny": "denied by",
    "audit": "allowed, and would be denied by",
    "ask": "up to an authorizer, asked by",
}


def render_judgement(judgement: Judgement) -> str:
    """The verdict, then the rules in order, as lines."""
    asked = " ".join(filter(None, (judgement.method, judgement.url_path)))
    heading = f"policy: {VERDICTS[judgement.verdict]} {judgement.rule}, for {judgement.caller}, {asked}"
    if not judgement.rules:
        heading = f"policy: there is none; everybody may call everything, {judgement.caller} too"
    width = max((len(each.rule) for each in judgement.rules), default=0)
    lines, decided = [heading], False
    for each in judgement.rules:
        lines.append(f"  {each.rule:<{width}}   {each.action:<5}   {_part(each, decided=decided)}".rstrip())
        decided = decided or each.decides
    return "\n".join(lines)


def _part(tried: TriedRule, *, decided: bool) -> str:
    if decided:
        return "not asked"
    if tried.decides:
        role = "decides"
    elif tried.fits == "no" or (tried.action == "allow" and tried.fits == "maybe"):
        role = "does not fit"
    else:
        role = "fits, and decides nothing"
    doubt = " (held against the caller)" if tried.fits == "maybe" else ""
    return f"{role}{doubt}{f': {tried.why}' if tried.why else ''}"
