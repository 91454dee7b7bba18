"""The machinery of the lessons; what they say is in the folder `lessons/`, one folder each.

    catalogue   finds the lessons
    lesson      what a lesson is
    text        its narrative, taken apart: prose, commands, questions with their answers
    console     the commands that it shows, run in a shell, and what they print compared
    building    a stand-in for the host, so that no mistake and no attack reaches the real one
    subject     whatever is checked: a command that runs a program in a container
    inside      that program's process, looked at from outside
    expect      what is found, compared with what is wanted
    checking    a lesson's check run on a subject, here or in the lab
    attacks     a lesson's attack, with the wall down and up
    progress    what the learner has done, in a file

A check looks only from outside: it starts the subject, finds the process in /proc (proc(5)), and reads
what the kernel says about it. So the same check fits the learner's own file, our runtime, runc, bwrap or unshare.
"""
