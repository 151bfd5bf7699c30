"""How a framework is asked, whichever it is: conventions, cases posed in them, suspects; no framework is here."""
