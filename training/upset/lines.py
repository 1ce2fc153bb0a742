"""Utterances written for this project: anger at an assistant, which the corpus lacks, and calm ones that look alike."""

UPSET = """\
this is useless
you are completely useless
that is NOT what I asked!!
i already told you that three times
are you even reading what I write??
stop giving me the same stupid answer
I have been asking for an hour and you keep repeating yourself
what a waste of time
this is a joke
are you kidding me
you people are unbelievable
worst service ever
I'm sick of this
i've had it with you
this is driving me mad
WHERE IS MY MONEY
GIVE ME AN ANSWER!!!
no no no, wrong again!!
how many times do I have to say it
you just don't get it, do you
that doesn't help me AT ALL
why is this so damn hard
I am furious
i'm so angry right now
nobody helps me, nobody!!
this is outrageous, I want my money back now
I will never buy anything from you again
you have ruined my week
I'm at my wits' end with this delivery
what the hell is going on with my order
third time this week, unbelievable!
absolutely disgraceful
I'm really upset about how I was treated
are you serious?! again?
shame on you
you lied to me
that's ridiculous
i can't believe how incompetent you are
ridiculous!! just answer the question
I'm crying here, please, somebody help me
what kind of shop is this
stop wasting my time!!
do your job
you keep sending me in circles
I've waited three weeks and nothing, NOTHING
I'm losing my patience
this bot is garbage
rubbish answer, try again
HELLO??? anybody there???
I am beyond disappointed
""".splitlines()

CALM = """\
no
no, that's not it
stop
cancel it
wrong order number, sorry
that's not the one I meant
I meant the other lamp
ok cancel order OM-48213
hello?
hello!
hi!!
thanks!
thank you so much!!
great!!
wow that was quick!
perfect, that helped!
yes!
yes please!!
never mind
forget it
no thanks
not now
I already have one
I already paid
can you repeat that please
I don't understand
what do you mean
that didn't work
it still blinks orange
it does not work
i want my money back please
how do i get my money back
where is my money
where is my order
can I talk to a person
I want to complain about something
how do I make a complaint
is there a number I can call
I've been waiting for two weeks now
it is the third time I try
is it a joke gift or real
my TV bench is oak, does the USB hub fit
OM-48213
DOES THE SOFA COME IN GREEN
i can't find it
I don't like the colour
that's too expensive for me
it's too late for me, another day please
my son broke the lamp, can I get a spare shade
sorry, I was angry before
""".splitlines()
