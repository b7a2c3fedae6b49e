"""What the sample library is built with: pictures, speech, films, slides, papers and quizzes."""
