"Help shows what each argument is for"
from conftest import fails
from tsdisk.disk.arguments import arguments_of, document_arguments, document_by_name, document_class

def base(a, # The first
    b:int=2, # The second
    **kwargs): "Base"

def more(
    x,
    *, c:str='x', # The third
    b=3, # Another second
):
    "More"
    local = x
    return local

class Kept:
    "A class"
    def __init__(self,
        path, # Where it is
        n:int=5, # How many
    ): self.path,self.n = path,n

def test_arguments_are_those_that_functions_declare_in_their_order():
    assert arguments_of(base) == dict(a='The first', b='The second')
    assert arguments_of(more) == dict(x=None, c='The third', b='Another second')
    assert arguments_of(Kept) == dict(path='Where it is', n='How many')
    assert [*arguments_of(base, more)] == ['a','b','x','c'] and arguments_of(base, more)['b'] == 'The second' # Of the first that declares it

def test_functions_without_sources_have_no_comments():
    names = {}
    exec('def made(a, # Unknown\n): pass', names)
    assert arguments_of(names['made']) == {}

def test_help_ends_with_groups_and_the_names_of_the_rest():
    def f(a, b=2, c='x', d=None, **kwargs): "What it does"
    document_arguments(f, {'Data': dict(b='a number', a='rows', z='of another function'), 'None of them': dict(z='')}, rest='Others')
    assert f.__doc__.splitlines() == ['What it does', '', 'Data:', f"  {'b=2':<22} a number", f"  {'a':<22} rows", '', 'Others:', '  c, d, kwargs']

def test_only_plain_defaults_are_shown():
    def f(a, b=None, c=(1,), d=.5, e=True): pass
    document_arguments(f, {'All': dict.fromkeys('abcde', '')})
    assert [o.strip() for o in f.__doc__.splitlines()[3:]] == ['a', 'b', 'c', 'd=0.5', 'e=True']

def test_arguments_are_grouped_by_their_names():
    def f(
        a, # Rows
        b=1, # A number
    ): "Doc"
    document_by_name(f, {'First': 'b unknown', 'Then': 'a'})
    assert [o.split() for o in f.__doc__.splitlines() if o] == [['Doc'], ['First:'], ['b=1','A','number'], ['Then:'], ['a','Rows']]

def test_a_class_is_documented_and_returned():
    assert document_class(Kept) is Kept
    assert 'n=5                    How many' in Kept.__init__.__doc__ and Kept.__doc__ == 'A class'
    with fails(AttributeError): document_class(type('Plain', (), {})) # It has no `__init__` of its own
