"""What people say: whole clauses, by what they mean and who says them.

In braces: `o` the other's name, `g` the good, `a` the good with its article, `p` the own price, `t` the price that the
other has just named.
"""

from __future__ import annotations

from typing import Final


def _clauses(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


GREETINGS: Final = {
    "friendly": _clauses("""
        Good morning, {o}!
        Hello, {o}!
        How nice to see you, {o}!
        What a fine day, {o}!
    """),
    "gruff": _clauses("""
        Well?
        Hm.
        You again, {o}.
        So, {o}.
        Let us get it over with.
    """),
    "hurried": _clauses("""
        Quick, {o}, it is getting late.
        Hello, be quick.
        I have little time, {o}.
        Quickly now!
    """),
    "shy": _clauses("""
        Oh, hello.
        Um, hello, {o}.
        Excuse me, {o}.
        Hello, if I may.
        Oh, good morning.
    """),
    "stubborn": _clauses("""
        Good morning.
        Listen, {o}.
        I know what it is worth.
        {o}, I say it once.
    """),
}

INTERJECTIONS: Final = {
    "friendly": _clauses("""
        My friend,
        Dear {o},
        Ah, {o},
        Come now,
        Oh, {o},
        Please, {o},
    """),
    "gruff": _clauses("""
        Hm.
        Nonsense.
        Bah.
        No.
        Ha!
        Pah, {o}.
    """),
    "hurried": _clauses("""
        Quick now:
        Fine, fine.
        No time for this.
        Let us be quick.
        I must go soon.
    """),
    "shy": _clauses("""
        Well,
        Um,
        I am sorry, but
        If you do not mind,
        Forgive me,
        Perhaps,
    """),
    "stubborn": _clauses("""
        No.
        Certainly not.
        I do not think so.
        Listen.
        You know better, {o}.
        Never.
    """),
}

TOO_MUCH: Final = _clauses("""
    {t} is too much.
    {t} is too much for {a}.
    {t} is a lot of money.
    Who would pay {t} for {a}?
    I cannot pay {t}.
    {t} for that {g}?
    {t} is more than I have.
    Not {t}.
""")

TOO_LITTLE: Final = _clauses("""
    {t} is too little.
    {t} is too little for {a}.
    {t} would ruin me.
    Who would sell {a} for {t}?
    I cannot live on {t}.
    {t} for this {g}?
    {t} is less than I paid.
    Not {t}.
""")

ASKS_FIRST: Final = _clauses("""
    I want {p} for the {g}.
    This {g} is yours for {p}.
    The {g} costs {p}.
    I am asking {p} for this {g}.
    Give me {p} and the {g} is yours.
    You can have the {g} for {p}.
    The price of the {g} is {p}.
    {p} for the {g}.
""")

BIDS_FIRST: Final = _clauses("""
    I would give {p} for the {g}.
    I can pay {p} for your {g}.
    Would you take {p} for the {g}?
    I offer {p} for the {g}.
    How about {p} for the {g}?
    For the {g} I would pay {p}.
    The {g} is worth {p} to me.
""")

ASKS: Final = _clauses("""
    I can let it go for {p}.
    It is yours for {p}.
    Make it {p}.
    I would take {p}.
    Give me {p}.
    How about {p}?
    Let us say {p}.
    Pay me {p} for the {g}.
    You can have it for {p}.
    What about {p}?
    For you, {p}.
    I ask {p} for the {g}.
    The {g} can be yours for {p}.
""")

BIDS: Final = _clauses("""
    I can give you {p}.
    I could pay {p}.
    Would you take {p}?
    How about {p}?
    I will pay {p}.
    Let us say {p}.
    My offer is {p}.
    What about {p}?
    I offer {p} for the {g}.
    Make it {p}.
    Take {p} for your {g}.
    I would go to {p}.
    For the {g} I can pay {p}.
""")

SOFT_ASKS: Final = _clauses("""
    I can come down a little.
    I might go lower.
    We will find a price.
    I do want to sell it.
""")

SOFT_BIDS: Final = _clauses("""
    I can go up a little.
    I might go higher.
    We will find a price.
    I do want to have it.
""")

FIRM_ASKS: Final = _clauses("""
    I will hardly go lower.
    Others would pay more.
    Do not wait for less.
    It is worth every coin.
""")

FIRM_BIDS: Final = _clauses("""
    I will hardly go higher.
    Others sell for less.
    Do not wait for more.
    It is not worth more.
""")

FINAL_ASKS: Final = _clauses("""
    My last word is {p}.
    {p}, and not a coin less.
    {p} is my last price.
    I cannot go below {p}, that is my last word.
    My last price for the {g} is {p}.
    Not a coin less than {p}.
""")

FINAL_BIDS: Final = _clauses("""
    My last word is {p}.
    {p}, and not a coin more.
    {p} is my last offer.
    I cannot go above {p}, that is my last word.
    My last offer for the {g} is {p}.
    Not a coin more than {p}.
""")

ACCEPTS_BUYER: Final = _clauses("""
    Deal! I take the {g} for {p}.
    Agreed, {p} for the {g}.
    Done. Here are {p} coins.
    It is a deal: {p}.
    Deal. I will pay {p}.
    Agreed. The {g} is mine for {p}.
    Done, {p} it is.
""")

ACCEPTS_SELLER: Final = _clauses("""
    Deal! The {g} is yours for {p}.
    Agreed, {p} for the {g}.
    Done. Give me the {p} coins.
    It is a deal: {p}.
    Deal. I will take {p}.
    Agreed. Take the {g} for {p}.
    Done, {p} it is.
""")

HAPPY: Final = {
    "friendly": _clauses("""
        You made me happy.
        Thank you, {o}!
        A pleasure, {o}.
    """),
    "gruff": _clauses("""
        Take it before I change my mind.
        Enough talk.
        Hm, well.
    """),
    "hurried": _clauses("""
        Now I must run.
        That was quick.
        At last.
    """),
    "shy": _clauses("""
        Thank you so much.
        I am so glad.
        You are very kind.
    """),
    "stubborn": _clauses("""
        I knew we would get there.
        That is fair.
        As it should be.
    """),
}

LEAVES_BUYER: Final = _clauses("""
    That is too much for me. Goodbye.
    Then I will look elsewhere. Goodbye, {o}.
    I cannot pay that. Farewell.
    Then keep your {g}. Goodbye.
    No {g} is worth that. Farewell, {o}.
    I have not so much money. Goodbye.
""")

LEAVES_SELLER: Final = _clauses("""
    That is too little for me. Goodbye.
    Then I will keep it. Goodbye, {o}.
    I cannot sell it for that. Farewell.
    Then I will keep my {g}. Goodbye.
    My {g} is worth more. Farewell, {o}.
    Somebody else will pay more. Goodbye.
""")
